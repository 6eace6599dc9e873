"""Spans to additive counters by minute: the views, event time, pricing, fold, the watermark."""
