"""The machine down to the page: who holds each, and what the allocator does with the rest.

Nothing here is imported until a page of a machine is touched: numpy takes
longer to load than most commands take to run.
"""
