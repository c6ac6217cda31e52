# SPDX-License-Identifier: Apache-2.0
# Turtles, Figure 7, as published. Run in this folder: gnuplot figure7.gp
figure = "figure7"
load "common.gp"
title_text = "netperf (Turtles, Figure 7), as published: Testudo has no network device"
axis_text = "Mb/s, and % of the CPU"
first_ratio = 1
load "clustered.gp"
