# SPDX-License-Identifier: Apache-2.0
# Turtles, Table 2, kernbench, and ours. Run in this folder: gnuplot table2a.gp
figure = "table2a"
load "common.gp"
title_text = "kernbench (Turtles, Table 2) and workload process"
axis_text = "less is better"
first_ratio = 2
load "clustered.gp"
