"""From accuracies to what can be said: tests, correlations, intervals, recommendations."""
