"""Faults as experiments: Chaos Toolkit runs them, a declared table generates them, a report shows what happened."""
