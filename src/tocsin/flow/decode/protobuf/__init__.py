"""Excerpts of other projects' protobuf schemas, and what `make proto` generates of them.

Generated with protoc 26.1, as opentelemetry-proto's are: that code names no version it needs,
so every protobuf from 5.29 on takes it. (Code of protoc 27 on is refused by an older runtime,
and warned of by one a major version newer.)
"""
