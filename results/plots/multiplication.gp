# SPDX-License-Identifier: Apache-2.0
# Exits L0 handles for one L2 exit, stacked by reason. Run in this folder: gnuplot multiplication.gp
load "settings.gp"
load "style.gp"
set style data histograms
set style histogram rowstacked gap 1
set style fill solid 0.9 noborder
set boxwidth 0.8
set xtics rotate by -60 scale 0 font ",10"
set key outside right top vertical noenhanced
do for [machine in machines] {
	data = "multiplication-".machine.".dat"
	if (has_data(data) && lines_of(data) > 1) {
		set terminal svg size 1280,560 font font background "white"
		set output "multiplication-".machine.".svg"
		columns = value("multiplication_columns_".machine)
		set title "Exit multiplication on machine ".machine.": exits L0 handles per L2 exit, by reason"
		set ylabel "exits per L2 exit"
		set yrange [0:*]
		plot for [column=3:columns] data using column:xtic(strcol(1)." ".strcol(2)) \
			title columnheader(column) lc rgb colour[1 + (column - 3) % 9]
		unset output
	}
}
