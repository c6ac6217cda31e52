# SPDX-License-Identifier: Apache-2.0
# A panel for the paper and one for each of our sources, with the same rows and bars: beside one another where there are few
# rows, else below. Absolute numbers, each panel in its own unit; above the bars the ratio to the first series, which is what compares.
rows = |row_name|
bars = |series_name|
width = 0.8 / bars
at(row, bar) = row + width * (bar - (bars + 1) / 2.0)
few = rows <= 3
two_lines(name) = strstrt(name, ": ") ? name[1:strstrt(name, ": ")]."\n".name[strstrt(name, ": ")+2:*] : name
panel_width = few ? 130 + 90 * rows : 260 + 84 * rows
whole_width = panel_width * (few ? panels : 1)
panel_height = few ? 260 : 190
set terminal svg size whole_width < 620 ? 620 : whole_width, 96 + panel_height * (few ? 1 : panels) font font background "white"
set output figure.".svg"
set multiplot layout few ? 1 : panels, few ? panels : 1 title title_text font "DejaVu Sans,13"
set xrange [-0.6 : rows - 0.4]
set lmargin 11
set rmargin 3
set tmargin 3.4
set bmargin few ? 3.6 : 2.6
set ytics font small
do for [panel=1:panels] {
	set title sprintf("%s (%s)", panel_name[panel], panel_unit[panel]) offset 0,few ? 0.6 : -0.6
	set ylabel axis_text font small
	top = panel_top[panel]
	set yrange [0 : top > 0 ? top * 1.2 : 1]
	if (panel > 1) { unset key } else { if (few) { set key at screen 0.5, screen 0.05 center horizontal samplen 1.2 reverse Left } \
		else { set key at graph 1, graph 1.2 right horizontal samplen 1.2 reverse Left } }
	set format y top < 1000 ? "%g" : "%.0s%c"
	set xtics scale 0 font small
	set xtics ()
	do for [row=1:rows] { set xtics add (two_lines(row_name[row]) row - 1) }
	plot for [bar=1:bars] data index panel - 1 using (at($0, bar)):(number(panel, bar)):(width * 0.94) with boxes \
		lc rgb colour[bar] title series_name[bar], \
	     for [bar=1:bars] data index panel - 1 using (at($0, bar)):(low(panel, bar)):(0):(high(panel, bar) - low(panel, bar)) \
		with vectors nohead lw 1.2 lc rgb "#222222" notitle, \
	     for [bar=1:bars] data index panel - 1 using (at($0, bar)):(label(bar) eq "–" ? 0 : high(panel, bar)): \
		(bar < first_ratio && label(bar) ne "–" ? "" : label(bar)) with labels offset 0,0.6 font "DejaVu Sans,8" notitle
}
unset multiplot
unset output
