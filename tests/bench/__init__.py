"""`make bench`: what each step costs, as ratios to the plainest thing that could do it, measured in one run.

Ours and the reference take turns, repetition by repetition (for latencies, record by record), so that a noisy machine
disturbs both alike; figures are medians over the repetitions. The table is printed and written to `.tapedeck/bench.json`.
"""
