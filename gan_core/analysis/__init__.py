"""What a trained GAN is looked at by, beside its figures: latent space, what its discriminator knows, the
course of its training."""
