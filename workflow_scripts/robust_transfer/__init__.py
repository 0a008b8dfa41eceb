"""Do adversarially robust backbones transfer better? The library, by subject."""
