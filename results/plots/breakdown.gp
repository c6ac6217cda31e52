# SPDX-License-Identifier: Apache-2.0
# Where the time of one nested cpuid round trip goes. Run in this folder: gnuplot breakdown.gp
# "L2" and "L1" hold their switches from and to L0.
load "settings.gp"
load "style.gp"
set style data histograms
set style histogram rowstacked gap 1
set style fill solid 0.9 noborder
set boxwidth 0.7
set xtics rotate by -20 scale 0
set key outside right top vertical invert
do for [machine in machines] {
	data = "breakdown-".machine.".dat"
	if (exists(data) && lines_of(data) > 1) {
		set terminal svg size 1000,520 font font background "white"
		set output "breakdown-".machine.".svg"
		set title "Where a nested cpuid round trip goes on machine ".machine." (mean)"
		set ylabel value("unit_".machine)." per round trip"
		set yrange [0:*]
		plot for [column=2:6] data using column:xtic(1) title columnheader(column) lc rgb colour[column - 1]
		unset output
	}
}
