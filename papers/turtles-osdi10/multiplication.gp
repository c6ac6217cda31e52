# SPDX-License-Identifier: Apache-2.0
# Turtles, exit multiplication, and ours. Run in this folder: gnuplot multiplication.gp
figure = "multiplication"
load "common.gp"
title_text = "Exits L0 handles for one exit of L2 (Turtles, sections 4.1 and 4.3)"
axis_text = "exits"
first_ratio = 1
load "clustered.gp"
