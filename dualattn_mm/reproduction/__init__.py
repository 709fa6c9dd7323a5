"""How far the paper is reproduced: configs/reproduction.yml beside what is counted and measured."""
