"""Speed and memory of our code beside the alternatives, measured in one run."""
