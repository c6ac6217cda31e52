# SPDX-License-Identifier: Apache-2.0
# Turtles, Figure 6, and ours. Run in this folder: gnuplot figure6.gp
figure = "figure6"
load "common.gp"
title_text = "Cost of an exit by kind (Turtles, Figure 6)"
axis_text = "per exit"
first_ratio = 2
load "clustered.gp"
