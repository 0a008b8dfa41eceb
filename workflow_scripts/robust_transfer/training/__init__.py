"""The training loop: schedules, augmentation, resumable state, evaluation."""
