"""The load that `dualattn serve` is tested with."""
