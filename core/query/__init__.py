"""From a plan of resolved ids to rows: the plan, its builder, functions, statistics, and two executors."""
