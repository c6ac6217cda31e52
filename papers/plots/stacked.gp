# SPDX-License-Identifier: Apache-2.0
# Divided bars: a group for the paper and one for each of our sources, on one axis (ratio to the base). Above each bar its
# ratio and its absolute number. Bars whose parts are not known are drawn grey.
rows = |row_name|
gap = 1.2
width = 0.78
at(panel, row) = (panel - 1) * (rows + gap) + row + 1
set rmargin references ? 30 : 4
set terminal svg size 110 + 230 * panels + (references ? 190 : 30), 500 font font background "white"
set output figure.".svg"
set title title_text font "DejaVu Sans,13" offset 0,0.3
set ylabel axis_text
set xrange [0.2 : panels * (rows + gap) - gap + 0.8]
top = 0
do for [panel=1:panels] {
	top = panel_top_ratio[panel] > top ? panel_top_ratio[panel] : top
}
do for [line=1:references] { top = reference[line] > top ? reference[line] : top }
set yrange [0 : top * 1.3]
set xtics scale 0 rotate by -38 font small
set xtics ()
do for [panel=1:panels] {
	do for [row=1:rows] { set xtics add (bar_name[row] at(panel, row - 1)) }
	set label 10 + panel panel_name[panel] at at(panel, (rows - 1) / 2.0), top * 1.25 center font "DejaVu Sans,11"
	set label 30 + panel panel_unit[panel] at at(panel, (rows - 1) / 2.0), top * 1.19 center font small textcolor rgb "#666666"
	if (panel > 1) {
		set arrow 50 + panel from at(panel, 0) - (1 + gap) / 2.0, 0 to at(panel, 0) - (1 + gap) / 2.0, top * 1.3 nohead lc rgb "#cccccc" dt 3
	}
}
do for [line=1:references] {
	set arrow 70 + line from graph 0, first reference[line] to graph 1, first reference[line] nohead dt 2 lc rgb "#888888" back
	name = reference_name[line]
	cut = strstrt(name, " (")
	set label 70 + line sprintf("%s %s", times(reference[line]), cut ? name[1:cut-1]."\n".name[cut+1:*] : name) \
		at graph 1.005, first reference[line] left font "DejaVu Sans,8" textcolor rgb "#555555"
}
set key outside bottom center horizontal samplen 1.5 reverse Left
below(n) = n < 1 ? 0 : (strcol(8 + n) eq "NaN" ? 0 : column(8 + n)) + below(n - 1)
plot for [part=1:3] keyentry with boxes lc rgb colour[part] title part_name[part], \
     for [panel=1:panels] data index panel - 1 using (at(panel, $0)):(strcol(9) eq "NaN" ? $5 : 0):(width) with boxes lc rgb colour[4] notitle, \
     for [panel=1:panels] for [part=1:3] data index panel - 1 \
	using (at(panel, $0)):(below(4 - part)):(width) with boxes lc rgb colour[4 - part] notitle, \
     for [panel=1:panels] data index panel - 1 using (at(panel, $0)):6:(0):($7 - $6) with vectors nohead lw 1.2 lc rgb "#222222" notitle, \
     for [panel=1:panels] data index panel - 1 using (at(panel, $0)):7:8 with labels offset 0,1.5 font small notitle, \
     for [panel=1:panels] data index panel - 1 using (at(panel, $0)):7:(short($2)) with labels offset 0,0.6 font "DejaVu Sans,8" \
	textcolor rgb "#666666" notitle
unset output
