"""What is made of the metrics: alerts, dashboard, reference page, and the check that all of them speak of what is exported."""
