# SPDX-License-Identifier: Apache-2.0
# Turtles, Figure 5, and ours. Run in this folder: gnuplot figure5a.gp
figure = "figure5a"
load "common.gp"
title_text = "Share of L0 in kernbench (Turtles, Figure 5)"
axis_text = "% of cycles"
first_ratio = 1
load "clustered.gp"
