# SPDX-License-Identifier: Apache-2.0
# Turtles, Table 2, SPECjbb, and ours. Run in this folder: gnuplot table2b.gp
figure = "table2b"
load "common.gp"
title_text = "SPECjbb (Turtles, Table 2) and workload specjbb-like"
axis_text = "paper: score; ours: cost"
first_ratio = 2
load "clustered.gp"
