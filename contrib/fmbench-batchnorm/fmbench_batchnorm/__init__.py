"""What batch normalisation does to VGG-11 on Fashion-MNIST: six claims, measured."""
