"""Detection: finding and classifying the objects of a scene."""
