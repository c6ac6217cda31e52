# SPDX-License-Identifier: Apache-2.0
# Distribution of the time one operation of one cell took, from exit to exit. Run in this folder: gnuplot distribution.gp
load "settings.gp"
load "style.gp"
set key bottom right
do for [machine in machines] {
	data = "distribution-".machine.".dat"
	if (has_data(data) && lines_of(data) > 1) {
		set terminal svg size 900,480 font font background "white"
		set output "distribution-".machine.".svg"
		unit = value("unit_".machine)
		set xrange [*:*]
		set yrange [*:*]
		stats data skip 1 using 1 name "ticks" nooutput
		set title "Time per operation: ".value("distribution_cell_".machine)
		set xlabel unit." from one L2 exit to the next"
		set ylabel "share of operations at or below"
		set yrange [0:1.02]
		set grid xtics ytics lc rgb "#dddddd" lt 1
		# Most operations lie close together and a few are very slow: a logarithmic axis shows both.
		if (ticks_max > 1.001 * ticks_min) {
			set logscale x
			set xrange [ticks_min * 0.95 : ticks_max * 1.05]
		} else {
			unset logscale x
			set xrange [ticks_min - 1 : ticks_max + 1]
		}
		set label 2 sprintf("slowest %.0f", ticks_max) at graph 0.98, graph 0.12 right textcolor rgb "#555555"
		set arrow 1 from ticks_median, graph 0 to ticks_median, graph 1 nohead dt 2 lc rgb colour[2]
		set label 1 sprintf(" median %.0f", ticks_median) at ticks_median, 0.05 textcolor rgb colour[2]
		plot data using 1:2 with steps lw 2 lc rgb colour[1] notitle
		unset arrow 1
		unset label 1
		unset label 2
		unset output
	}
}
