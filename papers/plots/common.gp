# SPDX-License-Identifier: Apache-2.0
# Looks of all papers' figures. A figure's script sets `figure`, loads this and then stacked.gp or clustered.gp.
set datafile separator "\t"
set encoding utf8
set border 2 lc rgb "#666666"
set tics nomirror textcolor rgb "#333333"
set grid ytics lc rgb "#e3e3e3" lt 1 lw 0.6
set style fill solid 1 noborder
font = "DejaVu Sans,11"
small = "DejaVu Sans,9"
# Okabe and Ito's colours, told apart by colour-blind readers too; dark, middle, light in grey print.
array colour[4] = ["#0072b2", "#e69f00", "#009e73", "#bbbbbb"]
load figure."-set.gp"
data = figure.".dat"
# Numbers as people write them: 950, 2.5 k, 58 k, 1.2 M.
short(x) = x != x ? "" : x < 0.995 ? sprintf("%.2f", x) : x < 9.95 ? sprintf("%.2g", x) : x < 999.5 ? sprintf("%.0f", x) : \
	x < 9950 ? sprintf("%.1fk", x / 1e3) : x < 999500 ? sprintf("%.0fk", x / 1e3) : sprintf("%.1fM", x / 1e6)
times(x) = x != x ? "" : x < 9.95 ? sprintf("%.1f×", x) : sprintf("%.0f×", x)
# A bar in a row of the data: number, interval, ratio with its interval, label. What a panel lacks altogether is drawn as nothing.
has(panel, bar) = there[4 * (panel - 1) + bar]
number(panel, bar) = has(panel, bar) ? column(7 * bar - 5) : 0
low(panel, bar) = has(panel, bar) ? column(7 * bar - 4) : 0
high(panel, bar) = has(panel, bar) ? column(7 * bar - 3) : 0
label(bar) = strcol(7 * bar + 1)
