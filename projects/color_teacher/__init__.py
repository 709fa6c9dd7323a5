"""A colorizer with an ImageNet network as encoder, and training with it as a teacher."""
