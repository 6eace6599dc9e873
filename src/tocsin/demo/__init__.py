"""`tocsin demo`: a synthetic fleet with labelled incidents, through the whole pipeline, watched.

incidents -> conditions -> draw -> span_messages -> fleet -> publisher (a process) ~~>
Kafka, Tocsin, alerts topic ~~>
play (drives event time, reads alerts) -> scene -> view, scoring
"""
