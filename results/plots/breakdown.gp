# SPDX-License-Identifier: Apache-2.0
# Where the time of one nested round trip goes; on the right the same without L1's handler, which dwarfs the rest where
# ring 0 is emulated. In virtual time L0's work takes none, so there is nothing to see on the right. Run in this folder: gnuplot breakdown.gp
load "settings.gp"
load "style.gp"
set style data histograms
set style histogram rowstacked gap 1
set style fill solid 0.9 noborder
set boxwidth 0.7
set xtics rotate by -25 scale 0
set yrange [0:*]
do for [machine in machines] {
	data = "breakdown-".machine.".dat"
	if (has_data(data) && lines_of(data) > 1) {
		columns = value("breakdown_columns_".machine)
		set terminal svg size 1280,560 font font background "white"
		set output "breakdown-".machine.".svg"
		timed = value("unit_".machine) eq "cycles"
		set multiplot layout 1,(timed ? 2 : 1) title "Where a nested round trip goes on machine ".machine." (medians, from ".value("breakdown_from_".machine).")"
		set ylabel value("unit_".machine)." per round trip"
		set key outside bottom center horizontal maxcols 2 font ",10"
		set title (timed ? "all of it" : "L0's work takes no virtual time")
		plot for [column=2:columns] data using column:xtic(1) title columnheader(column) lc rgb colour[column - 1]
		if (timed) {
			set title "without ".(columns == 8 ? "L1's handler" : "L1")
			plot for [column=2:columns-1] data using column:xtic(1) title columnheader(column) lc rgb colour[column - 1]
		}
		unset multiplot
		unset output
	}
}
