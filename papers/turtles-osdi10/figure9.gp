# SPDX-License-Identifier: Apache-2.0
# Turtles, Figure 9, and ours. Run in this folder: gnuplot figure9.gp
figure = "figure9"
load "common.gp"
title_text = "Multi-dimensional paging against shadow-on-EPT (Turtles, Figure 9)"
axis_text = "as in the panel's title"
first_ratio = 2
load "clustered.gp"
