"""Measurements of a whole system on one machine, beside a yardstick run in the same minute."""
