# SPDX-License-Identifier: Apache-2.0
# Common looks of the plots; every script loads it after settings.gp.
set datafile separator "\t"
set datafile missing "NaN"
set encoding utf8
set border 3 lc rgb "#555555"
set tics nomirror textcolor rgb "#333333"
set grid ytics lc rgb "#dddddd" lt 1
set key top left reverse Left samplen 2 spacing 1.2
font = "DejaVu Sans,12"
# Okabe and Ito's colours, told apart by colour-blind readers too.
array colour[9] = ["#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#999999", "#f0e442", "#000000"]
has_data(file) = int(system("[ -s '".file."' ] && echo 1 || echo 0"))
lines_of(file) = int(system("wc -l < '".file."'"))
