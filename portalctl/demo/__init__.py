"""Replay a working day through the whole product and count every change.

`checker` is pure and decides; `oracle` asks the database what should have happened; everything else
makes it happen: `processes`, `proxy`, `staff`, `customers`, `view`, put together by `runner`.
"""
