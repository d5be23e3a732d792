"""First activation: users, their first events, and how far each day's new users get in the funnel."""
