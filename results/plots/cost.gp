# SPDX-License-Identifier: Apache-2.0
# Cost per exit kind at level 1 and level 2, with 95 % intervals. Cycles span decades: a logarithmic axis; instructions
# are exact and may be 0: a linear one. Run in this folder: gnuplot cost.gp
load "settings.gp"
load "style.gp"
set style fill solid 0.9 noborder
set boxwidth 0.19
set xtics rotate by -35 scale 0
set key outside top center horizontal
array name[4] = ["level 1", "level 2, vmcs=trap", "level 2, vmcs=shadow", "level 2, vmcs=direct"]
at(row, bar) = row + 0.2 * (bar - 2.5)
do for [machine in machines] {
	data = "cost-".machine.".dat"
	if (has_data(data) && lines_of(data) > 1) {
		set terminal svg size 1100,520 font font background "white"
		set output "cost-".machine.".svg"
		set title "Cost of one operation on machine ".machine." (median and its 95 % interval)"
		set ylabel value("unit_".machine)." per operation"
		if (value("unit_".machine) eq "cycles") {
			set logscale y
			set format y "10^{%L}"
			set yrange [*:*]
		} else {
			unset logscale y
			set format y "%g"
			set yrange [0:*]
		}
		set xrange [-0.7 : lines_of(data) - 1.3]
		plot for [bar=1:4] data skip 1 using (at($0, bar)):(column(3 * bar - 1)) with boxes lc rgb colour[bar] title name[bar], \
		     for [bar=1:4] data skip 1 using (at($0, bar)):(column(3 * bar)):(0):(column(3 * bar + 1) - column(3 * bar)) \
			with vectors nohead lw 2 lc rgb "#222222" notitle, \
		     data skip 1 using 0:(valid(2) ? $2 : $5):xtic(1) with dots lc rgb "#ff000000" notitle
		unset output
	}
}
