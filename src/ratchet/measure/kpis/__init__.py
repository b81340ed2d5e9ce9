"""KPIs: numbers about how the work is done, each with the events behind it.

Invariant: a KPI is a function of the events up to a moment, the settings and the scope, and of nothing else.
"""
