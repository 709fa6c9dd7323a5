"""How far the paper is reproduced: configs/reproduction.yml against what is counted and measured."""
