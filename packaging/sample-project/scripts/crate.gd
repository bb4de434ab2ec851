extends RigidBody3D


func _ready() -> void:
	mass = 5.0
