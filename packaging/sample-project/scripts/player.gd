extends CharacterBody3D

signal fell

@export var speed := 4.0


func _physics_process(delta: float) -> void:
	velocity.y -= 9.8 * delta
	move_and_slide()
	if position.y < -10.0:
		fell.emit()
