# SPDX-License-Identifier: Apache-2.0
# Turtles, Figure 5, and ours. Run in this folder: gnuplot figure5b.gp
figure = "figure5b"
load "common.gp"
title_text = "Share of all but the guest in SPECjbb (Turtles, Figure 5)"
axis_text = "% of cycles"
first_ratio = 1
load "clustered.gp"
