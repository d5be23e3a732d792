"""Events of the apps, and the campaigns that brought their users: reports by day, each also over any range of days."""
