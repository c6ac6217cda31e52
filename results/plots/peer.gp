# SPDX-License-Identifier: Apache-2.0
# Our multiplexer (machine kvm) beside the kernel's nested VMX (nvmx), level 2, exit kind by exit kind; of runs that have
# both, such as cli/matrices/peer.ini. Run in this folder: gnuplot peer.gp
load "settings.gp"
load "style.gp"
set style fill solid 0.9 noborder
set boxwidth 0.19
set xtics rotate by -35 scale 0
set key outside top center horizontal
# Columns of cost-kvm.dat, and behind them those of cost-nvmx.dat.
array name[4] = ["kvm, vmcs=trap", "nvmx, shadowing off", "kvm, vmcs=shadow", "nvmx, shadowing on"]
array median[4] = [5, 18, 8, 21]
array shade[4] = ["#56b4e9", "#e69f00", "#0072b2", "#d55e00"]
at(row, bar) = row + 0.2 * (bar - 2.5)
if (has_data("cost-kvm.dat") && has_data("cost-nvmx.dat")) {
	data = "< paste cost-kvm.dat cost-nvmx.dat"
	set terminal svg size 1100,520 font font background "white"
	set output "peer.svg"
	set title "One operation at level 2: our multiplexer (kvm) beside the kernel's nested VMX (nvmx)"
	set ylabel unit_kvm." per operation"
	set format y "%.0s%c"
	set yrange [0:*]
	set xrange [-0.7 : lines_of("cost-kvm.dat") - 1.3]
	plot for [bar=1:4] data skip 1 using (at($0, bar)):(column(median[bar])) with boxes lc rgb shade[bar] title name[bar], \
	     for [bar=1:4] data skip 1 using (at($0, bar)):(column(median[bar] + 1)):(0):(column(median[bar] + 2) - column(median[bar] + 1)) \
		with vectors nohead lw 2 lc rgb "#222222" notitle, \
	     data skip 1 using 0:(column(8)):xtic(1) with dots lc rgb "#ff000000" notitle
	unset output
}
