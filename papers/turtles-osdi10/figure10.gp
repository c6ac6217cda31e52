# SPDX-License-Identifier: Apache-2.0
# Turtles, Figure 10, and ours. Run in this folder: gnuplot figure10.gp
figure = "figure10"
load "common.gp"
title_text = "One nested cpuid (Turtles, Figure 10): what the optimisations bring"
axis_text = "times the single-level exit"
array part_name[3] = ["mode switch", "L0", "L1"]
array bar_name[5] = ["single-level", "nested", "+ 3.5.1", "+ 3.5.2", "+ both"]
load "stacked.gp"
