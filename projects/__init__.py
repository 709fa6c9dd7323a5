"""Side projects around the paper. They build on `dualattn_mm` and are not part of its wheel."""
