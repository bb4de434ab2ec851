extends Node3D


func _on_player_fell() -> void:
	$Player.position = Vector3(0, 1, 4)
