# SPDX-License-Identifier: Apache-2.0
# Cost per exit kind at level 1 and level 2, with 95 % intervals. Run in this folder: gnuplot cost.gp
load "settings.gp"
load "style.gp"
set style data histograms
set style histogram errorbars gap 1 lw 1
set style fill solid 0.9 noborder
set xtics rotate by -35 scale 0
set key outside top center horizontal
do for [machine in machines] {
	data = "cost-".machine.".dat"
	if (exists(data) && lines_of(data) > 1) {
		set terminal svg size 1100,520 font font background "white"
		set output "cost-".machine.".svg"
		unit = value("unit_".machine)
		set title "Cost of one operation on machine ".machine." (median, 95 % interval)"
		set ylabel unit." per operation"
		set logscale y
		set format y "10^{%L}"
		plot data using 2:3:4:xtic(1) title "level 1" lc rgb colour[1], \
		     data using 5:6:7 title "level 2, vmcs=trap" lc rgb colour[2], \
		     data using 8:9:10 title "level 2, vmcs=shadow" lc rgb colour[3], \
		     data using 11:12:13 title "level 2, vmcs=direct" lc rgb colour[4]
		unset output
	}
}
