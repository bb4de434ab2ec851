#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "scene/scene.h"

/*
 * The engines' classes, for the tags that make an object of one.
 * Of Godot 3 all of 3.2 are here, and the resources and nodes that came later. Of Godot 4
 * the class reference's resources of 4.5 (its index spells names in small letters
 * only), the few that 4.6 and 4.7 have added, and whatever other classes scenes in the
 * wild were seen to use.
 */

enum { R3 = 1, A3 = 2, O3 = 4, R4 = 8, A4 = 16, O4 = 32 }; /* resource, abstract one, other */

struct class {
	const char *name;
	unsigned char what;
};

static const struct class classes[] = {
	{"ARVRAnchor", O3}, {"ARVRCamera", O3}, {"ARVRController", O3}, {"ARVRInterface", O3},
	{"ARVRInterfaceGDNative", O3}, {"ARVROrigin", O3}, {"ARVRPositionalTracker", O3},
	{"ARVRServer", O3}, {"AStar", O3}, {"AStar2D", O3}, {"AcceptDialog", O3 | O4},
	{"AnimatableBody2D", O4}, {"AnimatableBody3D", O4}, {"AnimatedSprite", O3},
	{"AnimatedSprite2D", O4}, {"AnimatedSprite3D", O3 | O4}, {"AnimatedTexture", R3 | R4},
	{"Animation", R3 | R4}, {"AnimationLibrary", R4}, {"AnimationNode", R3 | R4},
	{"AnimationNodeAdd2", R3 | R4}, {"AnimationNodeAdd3", R3 | R4},
	{"AnimationNodeAnimation", R3 | R4}, {"AnimationNodeBlend2", R3 | R4},
	{"AnimationNodeBlend3", R3 | R4}, {"AnimationNodeBlendSpace1D", R3 | R4},
	{"AnimationNodeBlendSpace2D", R3 | R4}, {"AnimationNodeBlendTree", R3 | R4},
	{"AnimationNodeOneShot", R3 | R4}, {"AnimationNodeOutput", R3 | R4},
	{"AnimationNodeStateMachine", R3 | R4}, {"AnimationNodeStateMachinePlayback", R3 | R4},
	{"AnimationNodeStateMachineTransition", R3 | R4}, {"AnimationNodeTimeScale", R3 | R4},
	{"AnimationNodeTimeSeek", R3 | R4}, {"AnimationNodeTransition", R3 | R4},
	{"AnimationPlayer", O3 | O4}, {"AnimationRootNode", R3 | R4},
	{"AnimationTrackEditPlugin", O3}, {"AnimationTree", O3 | O4}, {"AnimationTreePlayer", O3},
	{"Area", O3}, {"Area2D", O3 | O4}, {"Area3D", O4}, {"AreaLight3D", O4},
	{"ArrayMesh", R3 | R4}, {"AspectRatioContainer", O3 | O4}, {"AtlasTexture", R3 | R4},
	{"AudioBusLayout", R3 | R4}, {"AudioEffect", A3 | R4}, {"AudioEffectAmplify", R3 | R4},
	{"AudioEffectBandLimitFilter", R3 | R4}, {"AudioEffectBandPassFilter", R3 | R4},
	{"AudioEffectCapture", R3}, {"AudioEffectChorus", R3 | R4},
	{"AudioEffectCompressor", R3 | R4}, {"AudioEffectDelay", R3 | R4},
	{"AudioEffectDistortion", R3 | R4}, {"AudioEffectEQ", R3 | R4},
	{"AudioEffectEQ10", R3 | R4}, {"AudioEffectEQ21", R3 | R4}, {"AudioEffectEQ6", R3 | R4},
	{"AudioEffectFilter", R3 | R4}, {"AudioEffectHighPassFilter", R3 | R4},
	{"AudioEffectHighShelfFilter", R3 | R4}, {"AudioEffectInstance", O3},
	{"AudioEffectLimiter", R3 | R4}, {"AudioEffectLowPassFilter", R3 | R4},
	{"AudioEffectLowShelfFilter", R3 | R4}, {"AudioEffectNotchFilter", R3 | R4},
	{"AudioEffectPanner", R3 | R4}, {"AudioEffectPhaser", R3 | R4},
	{"AudioEffectPitchShift", R3 | R4}, {"AudioEffectRecord", R3 | R4},
	{"AudioEffectReverb", R3 | R4}, {"AudioEffectSpectrumAnalyzer", R3 | R4},
	{"AudioEffectSpectrumAnalyzerInstance", O3}, {"AudioEffectStereoEnhance", R3 | R4},
	{"AudioListener3D", O4}, {"AudioServer", O3}, {"AudioStream", A3 | R4},
	{"AudioStreamGenerator", R3 | R4}, {"AudioStreamGeneratorPlayback", O3},
	{"AudioStreamMP3", R3 | R4}, {"AudioStreamMicrophone", R3 | R4},
	{"AudioStreamOGGVorbis", R3 | R4}, {"AudioStreamPlayback", O3},
	{"AudioStreamPlaybackResampled", O3}, {"AudioStreamPlayer", O3 | O4},
	{"AudioStreamPlayer2D", O3 | O4}, {"AudioStreamPlayer3D", O3 | O4},
	{"AudioStreamRandomPitch", R3}, {"AudioStreamRandomizer", R4}, {"AudioStreamSample", R3},
	{"BackBufferCopy", O3}, {"BakedLightmap", O3}, {"BakedLightmapData", R3},
	{"BaseButton", O3}, {"BitMap", R3 | R4}, {"BitmapFont", R3}, {"Bone2D", O3 | O4},
	{"BoneAttachment", O3}, {"BoxContainer", O3 | O4}, {"BoxMesh", R4}, {"BoxOccluder3D", R4},
	{"BoxShape", R3}, {"BoxShape3D", R4}, {"BulletPhysicsDirectBodyState", O3},
	{"BulletPhysicsDirectSpaceState", O3}, {"BulletPhysicsServer", O3}, {"Button", O3 | O4},
	{"ButtonGroup", R3 | R4}, {"CPUParticles", O3}, {"CPUParticles2D", O3 | O4},
	{"CPUParticles3D", O4}, {"CSGBox", O3}, {"CSGBox3D", O4}, {"CSGCombiner", O3},
	{"CSGCombiner3D", O4}, {"CSGCylinder", O3}, {"CSGCylinder3D", O4}, {"CSGMesh", O3},
	{"CSGMesh3D", O4}, {"CSGPolygon", O3}, {"CSGPolygon3D", O4}, {"CSGPrimitive", O3},
	{"CSGShape", O3}, {"CSGSphere", O3}, {"CSGSphere3D", O4}, {"CSGTorus", O3},
	{"CSGTorus3D", O4}, {"CSharpScript", R3}, {"Camera", O3}, {"Camera2D", O3 | O4},
	{"Camera3D", O4}, {"CameraAttributesPhysical", R4}, {"CameraAttributesPractical", R4},
	{"CameraFeed", O3}, {"CameraServer", O3}, {"CameraTexture", R3 | R4}, {"CanvasGroup", O4},
	{"CanvasItem", O3}, {"CanvasItemMaterial", R3 | R4}, {"CanvasLayer", O3 | O4},
	{"CanvasModulate", O3 | O4}, {"CanvasTexture", R4}, {"CapsuleMesh", R3 | R4},
	{"CapsuleShape", R3}, {"CapsuleShape2D", R3 | R4}, {"CapsuleShape3D", R4},
	{"CenterContainer", O3 | O4}, {"CharFXTransform", O3}, {"CharacterBody2D", O4},
	{"CharacterBody3D", O4}, {"CheckBox", O3 | O4}, {"CheckButton", O3 | O4},
	{"CircleShape2D", R3 | R4}, {"ClippedCamera", O3}, {"CodeEdit", O4},
	{"CodeHighlighter", R4}, {"CollisionObject", O3}, {"CollisionObject2D", O3},
	{"CollisionPolygon", O3}, {"CollisionPolygon2D", O3 | O4}, {"CollisionShape", O3},
	{"CollisionShape2D", O3 | O4}, {"CollisionShape3D", O4}, {"ColorPicker", O3 | O4},
	{"ColorPickerButton", O3 | O4}, {"ColorRect", O3 | O4}, {"Compositor", R4},
	{"CompositorEffect", R4}, {"ConcavePolygonShape", R3}, {"ConcavePolygonShape2D", R3 | R4},
	{"ConcavePolygonShape3D", R4}, {"ConeTwistJoint", O3}, {"ConeTwistJoint3D", O4},
	{"ConfigFile", O3}, {"ConfirmationDialog", O3 | O4}, {"Container", O3 | O4},
	{"Control", O3 | O4}, {"ConvexPolygonShape", R3}, {"ConvexPolygonShape2D", R3 | R4},
	{"ConvexPolygonShape3D", R4}, {"Crypto", O3}, {"CryptoKey", R3 | R4},
	{"CubeMap", R3 | R4}, {"CubeMesh", R3}, {"CullInstance", O3}, {"Curve", R3 | R4},
	{"Curve2D", R3 | R4},
	{"Curve3D", R3 | R4}, {"CurveTexture", R3 | R4}, {"CylinderMesh", R3 | R4},
	{"CylinderShape", R3}, {"CylinderShape3D", R4}, {"DPITexture", R4}, {"DTLSServer", O3},
	{"DampedSpringJoint2D", O3 | O4}, {"Decal", O4}, {"DirectionalLight", O3},
	{"DirectionalLight2D", O4}, {"DirectionalLight3D", O4}, {"DrawableTexture2D", R4},
	{"DynamicFont", R3}, {"DynamicFontData", R3}, {"EditorExportPlugin", O3},
	{"EditorFeatureProfile", O3}, {"EditorFileDialog", O3 | O4}, {"EditorFileSystem", O3},
	{"EditorFileSystemDirectory", O3}, {"EditorImportPlugin", O3}, {"EditorInspector", O3},
	{"EditorInspectorPlugin", O3}, {"EditorInterface", O3},
	{"EditorNavigationMeshGenerator", O3}, {"EditorPlugin", O3}, {"EditorProperty", O3},
	{"EditorResourceConversionPlugin", O3}, {"EditorResourcePicker", O4},
	{"EditorResourcePreview", O3}, {"EditorResourcePreviewGenerator", O3},
	{"EditorSceneImporter", O3}, {"EditorSceneImporterAssimp", O3},
	{"EditorScenePostImport", O3}, {"EditorScript", O3}, {"EditorSelection", O3},
	{"EditorSettings", A3 | R4}, {"EditorSpatialGizmo", O3}, {"EditorSpatialGizmoPlugin", A3},
	{"EditorSpinSlider", O3}, {"EditorVCSInterface", O3}, {"EncodedObjectAsID", O3},
	{"Environment", R3 | R4}, {"Expression", O3}, {"ExternalTexture", R3 | R4},
	{"FastNoiseLite", R4}, {"FileDialog", O3 | O4}, {"FileSystemDock", O3},
	{"FixedSpatialMaterial", R3}, {"FlowContainer", O3 | O4}, {"FogMaterial", R4},
	{"FogVolume", O4},
	{"FoldableContainer", O4},
	{"FoldableGroup", R4}, {"Font", A3 | R4}, {"FontFile", R4}, {"FontVariation", R4},
	{"FuncRef", O3}, {"GDNative", O3}, {"GDNativeLibrary", R3}, {"GDScript", R3 | R4},
	{"GDScriptFunctionState", O3}, {"GDScriptNativeClass", O3}, {"GIProbe", O3},
	{"GIProbeData", R3}, {"GLTFAccessor", R3}, {"GLTFAnimation", R3}, {"GLTFBufferView", R3},
	{"GLTFCamera", R3}, {"GLTFDocument", R3}, {"GLTFLight", R3}, {"GLTFMesh", R3},
	{"GLTFNode", R3}, {"GLTFSkeleton", R3}, {"GLTFSkin", R3}, {"GLTFSpecGloss", R3},
	{"GLTFState", R3}, {"GLTFTexture", R3}, {"GPUParticles2D", O4}, {"GPUParticles3D", O4},
	{"GPUParticlesAttractorSphere3D", O4}, {"GPUParticlesCollisionBox3D", O4},
	{"GPUParticlesCollisionHeightField3D", O4}, {"GPUParticlesCollisionSDF3D", O4},
	{"GPUParticlesCollisionSphere3D", O4}, {"Generic6DOFJoint", O3},
	{"Generic6DOFJoint3D", O4}, {"GeometryInstance", O3}, {"Gradient", R3 | R4},
	{"GradientTexture", R3}, {"GradientTexture1D", R4}, {"GradientTexture2D", R3 | R4},
	{"GraphEdit", O3 | O4}, {"GraphElement", O4}, {"GraphFrame", O4}, {"GraphNode", O3 | O4},
	{"GridContainer", O3 | O4}, {"GridMap", O3 | O4}, {"GrooveJoint2D", O3 | O4},
	{"HBoxContainer", O3 | O4}, {"HFlowContainer", O3 | O4}, {"HScrollBar", O3 | O4},
	{"HSeparator", O3 | O4}, {"HSlider", O3 | O4}, {"HSplitContainer", O3 | O4},
	{"HTTPClient", O3}, {"HTTPRequest", O3 | O4}, {"HashingContext", O3},
	{"HeightMapShape", R3}, {"HingeJoint", O3}, {"HingeJoint3D", O4}, {"IP", O3},
	{"IP_Unix", O3}, {"Image", R3 | R4}, {"ImageSkyBox", R3}, {"ImageTexture", R3 | R4},
	{"ImmediateGeometry", O3},
	{"Input", O3}, {"InputDefault", O3}, {"InputEvent", A3 | R4},
	{"InputEventAction", R3 | R4}, {"InputEventGesture", A3 | R4},
	{"InputEventJoypadButton", R3 | R4}, {"InputEventJoypadMotion", R3 | R4},
	{"InputEventKey", R3 | R4}, {"InputEventMIDI", R3 | R4},
	{"InputEventMagnifyGesture", R3 | R4}, {"InputEventMouse", A3 | R4},
	{"InputEventMouseButton", R3 | R4}, {"InputEventMouseMotion", R3 | R4},
	{"InputEventPanGesture", R3 | R4}, {"InputEventScreenDrag", R3 | R4},
	{"InputEventScreenTouch", R3 | R4}, {"InputEventWithModifiers", A3 | R4},
	{"InputMap", O3}, {"InstancePlaceholder", O3}, {"InterpolatedCamera", O3},
	{"ItemList", O3 | O4}, {"JNISingleton", O3}, {"JSONParseResult", O3}, {"JSONRPC", O3},
	{"JavaClass", O3}, {"JavaClassWrapper", O3}, {"JavaScript", O3}, {"Joint", O3},
	{"Joint2D", O3}, {"KinematicBody", O3}, {"KinematicBody2D", O3},
	{"KinematicCollision", O3}, {"KinematicCollision2D", O3}, {"Label", O3 | O4},
	{"Label3D", O3 | O4}, {"LabelSettings", R4}, {"LargeTexture", R3}, {"Light", O3},
	{"Light2D", O3}, {"LightOccluder2D", O3 | O4}, {"LightmapGI", O4}, {"LimboHSM", O4},
	{"LimboState", O4}, {"Line2D", O3 | O4}, {"LineEdit", O3 | O4}, {"LineShape2D", R3},
	{"LinkButton", O3 | O4}, {"Listener", O3}, {"MainLoop", O3}, {"MarginContainer", O3 | O4},
	{"Marker2D", O4}, {"Marker3D", O4}, {"Material", A3 | A4}, {"MenuBar", O4},
	{"MenuButton", O3 | O4}, {"MergeGroup", O3}, {"Mesh", R3 | A4}, {"MeshDataTool", O3},
	{"MeshInstance", O3},
	{"MeshInstance2D", O3 | O4}, {"MeshInstance3D", O4}, {"MeshLibrary", R3 | R4},
	{"MeshTexture", R3 | R4}, {"MobileVRInterface", O3}, {"MultiMesh", R3 | R4},
	{"MultiMeshInstance", O3}, {"MultiMeshInstance2D", O3}, {"MultiplayerAPI", O3},
	{"MultiplayerPeerGDNative", O3}, {"MultiplayerSpawner", O4},
	{"MultiplayerSynchronizer", O4}, {"NativeScript", R3}, {"Navigation", O3},
	{"Navigation2D", O3}, {"NavigationAgent", O3}, {"NavigationAgent2D", O3 | O4},
	{"NavigationAgent3D", O4},
	{"NavigationMesh", R3 | R4}, {"NavigationMeshInstance", O3}, {"NavigationObstacle", O3},
	{"NavigationObstacle2D", O3 | O4}, {"NavigationObstacle3D", O4},
	{"NavigationPolygon", R3 | R4}, {"NavigationPolygonInstance", O3},
	{"NavigationRegion2D", O4}, {"NavigationRegion3D", O4}, {"NetworkedMultiplayerENet", O3},
	{"NetworkedMultiplayerPeer", O3}, {"NinePatchRect", O3 | O4}, {"Node", O3 | O4},
	{"Node2D", O3 | O4}, {"Node3D", O4}, {"NoiseTexture", R3}, {"NoiseTexture2D", R4},
	{"ORMMaterial3D", R4}, {"ORMSpatialMaterial", R3}, {"Object", O3 | O4},
	{"Occluder", O3}, {"OccluderInstance3D", O4}, {"OccluderPolygon2D", R3 | R4},
	{"OccluderShape", A3},
	{"OccluderShapePolygon", R3}, {"OccluderShapeSphere", R3}, {"OmniLight", O3},
	{"OmniLight3D", O4}, {"OpenSimplexNoise", R3}, {"OpenXRAction", R4},
	{"OpenXRActionMap", R4}, {"OpenXRActionSet", R4}, {"OpenXRAnalogThresholdModifier", R4},
	{"OpenXRCompositionLayerEquirect", O4}, {"OpenXRCompositionLayerQuad", O4},
	{"OpenXRDpadBindingModifier", R4}, {"OpenXRHapticVibration", R4}, {"OpenXRIPBinding", R4},
	{"OpenXRInteractionProfile", R4}, {"OpenXRRenderModelManager", O4},
	{"OptionButton", O3 | O4}, {"PCKPacker", O3}, {"PHashTranslation", R3},
	{"PackedDataContainer", R3 | R4}, {"PackedDataContainerRef", O3},
	{"PackedScene", R3 | R4}, {"PackedSceneGLTF", R3}, {"PacketPeer", O3},
	{"PacketPeerDTLS", O3}, {"PacketPeerGDNative", O3}, {"PacketPeerStream", O3},
	{"PacketPeerUDP", O3}, {"Panel", O3 | O4}, {"PanelContainer", O3 | O4},
	{"PanoramaSky", R3}, {"PanoramaSkyMaterial", R4}, {"ParallaxBackground", O3 | O4},
	{"ParallaxLayer", O3 | O4}, {"ParticleProcessMaterial", R4}, {"Particles", O3},
	{"Particles2D", O3}, {"ParticlesMaterial", R3}, {"Path", O3}, {"Path2D", O3 | O4},
	{"Path3D", O4}, {"PathFollow", O3}, {"PathFollow2D", O3 | O4}, {"PathFollow3D", O4},
	{"Performance", O3}, {"PhysicalBone", O3}, {"PhysicalBone3D", O4},
	{"PhysicalBoneSimulator3D", O4}, {"PhysicalSkyMaterial", R4},
	{"Physics2DDirectBodyState", O3}, {"Physics2DDirectBodyStateSW", O3},
	{"Physics2DDirectSpaceState", O3}, {"Physics2DDirectSpaceStateSW", O3},
	{"Physics2DServer", O3}, {"Physics2DServerSW", O3}, {"Physics2DShapeQueryParameters", O3},
	{"Physics2DShapeQueryResult", O3}, {"Physics2DTestMotionResult", O3}, {"PhysicsBody", O3},
	{"PhysicsBody2D", O3}, {"PhysicsDirectBodyState", O3}, {"PhysicsDirectSpaceState", O3},
	{"PhysicsMaterial", R3 | R4}, {"PhysicsServer", O3}, {"PhysicsShapeQueryParameters", O3},
	{"PhysicsShapeQueryResult", O3}, {"PinJoint", O3}, {"PinJoint2D", O3 | O4},
	{"PinJoint3D", O4}, {"PlaceholderTexture2D", R4}, {"PlaneMesh", R3 | R4},
	{"PlaneShape", R3}, {"PluginScript", R3}, {"PointLight2D", O4}, {"PointMesh", R3 | R4},
	{"Polygon2D", O3 | O4}, {"PolygonPathFinder", R3 | R4}, {"Popup", O3 | O4},
	{"PopupDialog", O3}, {"PopupMenu", O3 | O4}, {"PopupPanel", O3 | O4}, {"Portal", O3},
	{"Position2D", O3},
	{"Position3D", O3}, {"PrimitiveMesh", A3 | R4}, {"PrismMesh", R3 | R4},
	{"ProceduralSky", R3}, {"ProceduralSkyMaterial", R4}, {"ProgressBar", O3 | O4},
	{"ProjectSettings", O3}, {"ProximityGroup", O3}, {"ProxyTexture", R3},
	{"QuadMesh", R3 | R4}, {"RandomNumberGenerator", O3}, {"Range", O3}, {"RayCast", O3},
	{"RayCast2D", O3 | O4}, {"RayCast3D", O4}, {"RayShape", R3}, {"RayShape2D", R3},
	{"RectangleShape2D", R3 | R4}, {"Reference", O3}, {"ReferenceRect", O3 | O4},
	{"ReflectionProbe", O3 | O4}, {"RegEx", O3}, {"RegExMatch", O3}, {"RemoteTransform", O3},
	{"RemoteTransform2D", O3 | O4}, {"RemoteTransform3D", O4}, {"Resource", R3 | R4},
	{"ResourceFormatLoader", O3}, {"ResourceFormatSaver", O3}, {"ResourceImporter", O3},
	{"ResourceInteractiveLoader", O3}, {"ResourcePreloader", O3}, {"RibbonTrailMesh", R4},
	{"RichTextEffect", R3 | R4}, {"RichTextLabel", O3 | O4}, {"RigidBody", O3},
	{"RigidBody2D", O3 | O4}, {"RigidBody3D", O4}, {"Room", O3}, {"RoomGroup", O3},
	{"RoomManager", O3}, {"RootMotionView", O3},
	{"SceneReplicationConfig", R4}, {"SceneState", O3}, {"SceneTree", O3},
	{"SceneTreeTimer", O3}, {"Script", A3 | R4}, {"ScriptCreateDialog", O3},
	{"ScriptEditor", O3}, {"ScrollBar", O3}, {"ScrollContainer", O3 | O4},
	{"SegmentShape2D", R3 | R4}, {"SeparationRayShape2D", R4}, {"SeparationRayShape3D", R4},
	{"Separator", O3}, {"Shader", R3 | R4}, {"ShaderMaterial", R3 | R4}, {"Shape", A3},
	{"Shape2D", A3 | A4}, {"ShapeCast", O3}, {"ShapeCast2D", O3 | O4}, {"ShapeCast3D", O4},
	{"ShortCut", R3}, {"Shortcut", R4},
	{"Skeleton", O3}, {"Skeleton2D", O3 | O4}, {"SkeletonIK", O3}, {"SkeletonIK3D", O4},
	{"SkeletonModifier3D", O4}, {"Skin", R3 | R4}, {"SkinReference", O3}, {"Sky", A3 | R4},
	{"Slider", O3}, {"SliderJoint", O3}, {"SliderJoint3D", O4}, {"SoftBody", O3},
	{"SoftBody3D", O4}, {"Spatial", O3}, {"SpatialGizmo", O3}, {"SpatialMaterial", R3},
	{"SpatialVelocityTracker", O3}, {"SphereMesh", R3 | R4}, {"SphereShape", R3},
	{"SphereShape3D", R4}, {"SpinBox", O3 | O4}, {"SplitContainer", O3 | O4},
	{"SpotLight", O3}, {"SpotLight3D", O4}, {"SpringArm", O3}, {"SpringArm3D", O4},
	{"Sprite", O3}, {"Sprite2D", O4}, {"Sprite3D", O3 | O4}, {"SpriteBase3D", O3},
	{"SpriteFrames", R3 | R4}, {"StandardMaterial3D", R4}, {"StaticBody", O3},
	{"StaticBody2D", O3 | O4}, {"StaticBody3D", O4}, {"StatusIndicator", O4},
	{"StreamPeer", O3}, {"StreamPeerBuffer", O3}, {"StreamPeerGDNative", O3},
	{"StreamPeerSSL", O3}, {"StreamPeerTCP", O3}, {"StreamTexture", R3},
	{"StyleBox", A3 | R4}, {"StyleBoxEmpty", R3 | R4}, {"StyleBoxFlat", R3 | R4},
	{"StyleBoxLine", R3 | R4}, {"StyleBoxTexture", R3 | R4}, {"SubViewport", O4},
	{"SubViewportContainer", O4}, {"SurfaceTool", O3}, {"SyntaxHighlighter", R4},
	{"SystemFont", R4}, {"TCP_Server", O3}, {"TabBar", O4}, {"TabContainer", O3 | O4},
	{"Tabs", O3}, {"TextEdit", O3 | O4}, {"TextFile", R3}, {"TextMesh", R3 | R4},
	{"Texture", A3 | A4}, {"Texture2DRD", R4}, {"Texture3D", R3 | R4}, {"TextureArray", R3},
	{"TextureButton", O3 | O4}, {"TextureLayered", A3 | A4}, {"TextureProgress", O3},
	{"TextureProgressBar", O4}, {"TextureRect", O3 | O4}, {"Theme", R3 | R4}, {"TileMap", O3},
	{"TileMapLayer", O4}, {"TileMapPattern", R4}, {"TileSet", R3 | R4},
	{"TileSetAtlasSource", R4}, {"Timer", O3 | O4}, {"ToolButton", O3},
	{"TorusMesh", R3 | R4}, {"TouchScreenButton", O3 | O4}, {"Translation", R3 | R4},
	{"TranslationServer", O3}, {"Tree", O3 | O4}, {"TreeItem", O3}, {"TriangleMesh", O3},
	{"TubeTrailMesh", R4}, {"Tween", O3}, {"UDPServer", O3}, {"UPNP", O3}, {"UPNPDevice", O3},
	{"UndoRedo", O3}, {"VBoxContainer", O3 | O4}, {"VFlowContainer", O3 | O4},
	{"VScrollBar", O3},
	{"VSeparator", O3 | O4}, {"VSlider", O3 | O4}, {"VSplitContainer", O3 | O4},
	{"VehicleBody", O3}, {"VehicleBody3D", O4}, {"VehicleWheel", O3}, {"VehicleWheel3D", O4},
	{"VideoPlayer", O3}, {"VideoStream", A3 | R4}, {"VideoStreamGDNative", R3},
	{"VideoStreamTheora", R3 | R4}, {"VideoStreamWebm", R3}, {"Viewport", O3},
	{"ViewportContainer", O3}, {"ViewportTexture", R3 | R4}, {"VisibilityEnabler", O3},
	{"VisibilityEnabler2D", O3}, {"VisibilityNotifier", O3}, {"VisibilityNotifier2D", O3},
	{"VisibleOnScreenEnabler2D", O4}, {"VisibleOnScreenNotifier2D", O4},
	{"VisibleOnScreenNotifier3D", O4}, {"VisualInstance", O3}, {"VisualScript", R3},
	{"VisualScriptBasicTypeConstant", R3}, {"VisualScriptBuiltinFunc", R3},
	{"VisualScriptClassConstant", R3}, {"VisualScriptComment", R3},
	{"VisualScriptComposeArray", R3}, {"VisualScriptCondition", R3},
	{"VisualScriptConstant", R3}, {"VisualScriptConstructor", R3},
	{"VisualScriptCustomNode", R3}, {"VisualScriptDeconstruct", R3},
	{"VisualScriptEmitSignal", R3}, {"VisualScriptEngineSingleton", R3},
	{"VisualScriptExpression", R3}, {"VisualScriptFunction", R3},
	{"VisualScriptFunctionCall", R3}, {"VisualScriptFunctionState", O3},
	{"VisualScriptGlobalConstant", R3}, {"VisualScriptIndexGet", R3},
	{"VisualScriptIndexSet", R3}, {"VisualScriptInputAction", R3},
	{"VisualScriptIterator", R3}, {"VisualScriptLists", A3}, {"VisualScriptLocalVar", R3},
	{"VisualScriptLocalVarSet", R3}, {"VisualScriptMathConstant", R3},
	{"VisualScriptNode", A3}, {"VisualScriptOperator", R3}, {"VisualScriptPreload", R3},
	{"VisualScriptPropertyGet", R3}, {"VisualScriptPropertySet", R3},
	{"VisualScriptResourcePath", R3}, {"VisualScriptReturn", R3},
	{"VisualScriptSceneNode", R3}, {"VisualScriptSceneTree", R3}, {"VisualScriptSelect", R3},
	{"VisualScriptSelf", R3}, {"VisualScriptSequence", R3}, {"VisualScriptSubCall", R3},
	{"VisualScriptSwitch", R3}, {"VisualScriptTypeCast", R3}, {"VisualScriptVariableGet", R3},
	{"VisualScriptVariableSet", R3}, {"VisualScriptWhile", R3}, {"VisualScriptYield", R3},
	{"VisualScriptYieldSignal", R3}, {"VisualServer", O3}, {"VisualShader", R3 | R4},
	{"VisualShaderNode", A3 | R4}, {"VisualShaderNodeBooleanConstant", R3 | R4},
	{"VisualShaderNodeBooleanUniform", R3}, {"VisualShaderNodeColorConstant", R3 | R4},
	{"VisualShaderNodeColorFunc", R3 | R4}, {"VisualShaderNodeColorOp", R3 | R4},
	{"VisualShaderNodeColorUniform", R3}, {"VisualShaderNodeCompare", R3 | R4},
	{"VisualShaderNodeCubeMap", R3 | R4}, {"VisualShaderNodeCubeMapUniform", R3},
	{"VisualShaderNodeCustom", R3 | R4}, {"VisualShaderNodeDeterminant", R3 | R4},
	{"VisualShaderNodeDotProduct", R3 | R4}, {"VisualShaderNodeExpression", R3 | R4},
	{"VisualShaderNodeFaceForward", R3 | R4}, {"VisualShaderNodeFresnel", R3 | R4},
	{"VisualShaderNodeGlobalExpression", R3 | R4}, {"VisualShaderNodeGroupBase", R3 | R4},
	{"VisualShaderNodeIf", R3 | R4}, {"VisualShaderNodeInput", R3 | R4},
	{"VisualShaderNodeIs", R3 | R4}, {"VisualShaderNodeOuterProduct", R3 | R4},
	{"VisualShaderNodeOutput", A3 | R4}, {"VisualShaderNodeScalarClamp", R3},
	{"VisualShaderNodeScalarConstant", R3}, {"VisualShaderNodeScalarDerivativeFunc", R3},
	{"VisualShaderNodeScalarFunc", R3}, {"VisualShaderNodeScalarInterp", R3},
	{"VisualShaderNodeScalarOp", R3}, {"VisualShaderNodeScalarSmoothStep", R3},
	{"VisualShaderNodeScalarSwitch", R3}, {"VisualShaderNodeScalarUniform", R3},
	{"VisualShaderNodeSwitch", R3 | R4}, {"VisualShaderNodeTexture", R3 | R4},
	{"VisualShaderNodeTextureUniform", R3}, {"VisualShaderNodeTextureUniformTriplanar", R3},
	{"VisualShaderNodeTransformCompose", R3 | R4},
	{"VisualShaderNodeTransformConstant", R3 | R4},
	{"VisualShaderNodeTransformDecompose", R3 | R4},
	{"VisualShaderNodeTransformFunc", R3 | R4}, {"VisualShaderNodeTransformMult", R3},
	{"VisualShaderNodeTransformUniform", R3}, {"VisualShaderNodeTransformVecMult", R3 | R4},
	{"VisualShaderNodeUniform", A3}, {"VisualShaderNodeVec3Constant", R3 | R4},
	{"VisualShaderNodeVec3Uniform", R3}, {"VisualShaderNodeVectorClamp", R3},
	{"VisualShaderNodeVectorCompose", R3 | R4}, {"VisualShaderNodeVectorDecompose", R3 | R4},
	{"VisualShaderNodeVectorDerivativeFunc", R3}, {"VisualShaderNodeVectorDistance", R3 | R4},
	{"VisualShaderNodeVectorFunc", R3 | R4}, {"VisualShaderNodeVectorInterp", R3},
	{"VisualShaderNodeVectorLen", R3 | R4}, {"VisualShaderNodeVectorOp", R3 | R4},
	{"VisualShaderNodeVectorRefract", R3 | R4}, {"VisualShaderNodeVectorScalarMix", R3},
	{"VisualShaderNodeVectorScalarSmoothStep", R3}, {"VisualShaderNodeVectorScalarStep", R3},
	{"VisualShaderNodeVectorSmoothStep", R3}, {"VoxelGI", O4}, {"WeakRef", O3},
	{"WebRTCDataChannel", O3}, {"WebRTCDataChannelGDNative", O3}, {"WebRTCMultiplayer", O3},
	{"WebRTCPeerConnection", O3}, {"WebRTCPeerConnectionGDNative", O3},
	{"WebSocketClient", O3}, {"WebSocketMultiplayerPeer", O3}, {"WebSocketPeer", O3},
	{"WebSocketServer", O3}, {"Window", O4}, {"WindowDialog", O3}, {"World", R3 | R4},
	{"World2D", R3 | R4}, {"World3D", R4}, {"WorldBoundaryShape2D", R4},
	{"WorldBoundaryShape3D", R4}, {"WorldEnvironment", O3 | O4}, {"X509Certificate", R3 | R4},
	{"XMLParser", O3}, {"XRCamera3D", O4}, {"XRController3D", O4}, {"XRHandModifier3D", O4},
	{"XRNode3D", O4}, {"XROrigin3D", O4}, {"YSort", O3}, {"_ClassDB", O3}, {"_Directory", O3},
	{"_Engine", O3}, {"_File", O3}, {"_Geometry", O3}, {"_JSON", O3}, {"_Marshalls", O3},
	{"_Mutex", O3}, {"_OS", O3}, {"_ResourceLoader", O3}, {"_ResourceSaver", O3},
	{"_Semaphore", O3}, {"_Thread", O3}, {"_VisualScriptEditor", O3},
};

/* Resources of Godot 4 whose spelling is not known. */
static const char *const unspelled[] = {
	"animationnodeextension", "animationnodesub2", "animationnodesync", "arrayoccluder3d",
	"audioeffectcapture", "audioeffecthardlimiter", "audiostreaminteractive",
	"audiostreamplaylist", "audiostreampolyphonic", "audiostreamsynchronized",
	"audiostreamwav", "basematerial3d", "bonemap", "cameraattributes", "colorpalette",
	"compressedcubemap", "compressedcubemaparray", "compressedtexture2d",
	"compressedtexture2darray", "compressedtexture3d", "compressedtexturelayered",
	"csharpscript", "cubemaparray", "curvexyztexture", "editornode3dgizmoplugin",
	"editorsyntaxhighlighter", "fbxdocument", "fbxstate", "gdextension",
	"gdscriptsyntaxhighlighter", "gltfaccessor", "gltfanimation", "gltfbufferview",
	"gltfcamera", "gltfdocument", "gltfdocumentextension",
	"gltfdocumentextensionconvertimportermesh", "gltflight", "gltfmesh", "gltfnode",
	"gltfphysicsbody", "gltfphysicsshape", "gltfskeleton", "gltfskin", "gltfspecgloss",
	"gltfstate", "gltftexture", "gltftexturesampler", "heightmapshape3d", "imagetexture3d",
	"imagetexturelayered", "immediatemesh", "importermesh", "inputeventfromwindow",
	"inputeventshortcut", "jointlimitation3d", "jointlimitationcone3d",
	"jointlimitationkusudama3d", "json", "lightmapgidata", "missingresource",
	"navigationmeshsourcegeometrydata2d", "navigationmeshsourcegeometrydata3d", "noise",
	"noisetexture3d", "occluder3d", "oggpacketsequence", "openxractionbindingmodifier",
	"openxrbindingmodifier", "openxrhapticbase", "openxripbindingmodifier",
	"optimizedtranslation", "placeholdercubemap", "placeholdercubemaparray",
	"placeholdermaterial", "placeholdermesh", "placeholdertexture2darray",
	"placeholdertexture3d", "placeholdertexturelayered", "polygonoccluder3d",
	"portablecompressedtexture2d", "quadoccluder3d", "rdshaderfile", "rdshaderspirv",
	"scriptextension", "shaderinclude", "shape3d", "skeletonmodification2d",
	"skeletonmodification2dccdik", "skeletonmodification2dfabrik",
	"skeletonmodification2djiggle", "skeletonmodification2dlookat",
	"skeletonmodification2dphysicalbones", "skeletonmodification2dstackholder",
	"skeletonmodification2dtwoboneik", "skeletonmodificationstack2d", "skeletonprofile",
	"skeletonprofilehumanoid", "sphereoccluder3d", "texture2d", "texture2darray",
	"texture2darrayrd", "texture3drd", "texturecubemaparrayrd", "texturecubemaprd",
	"texturelayeredrd", "tilesetscenescollectionsource", "tilesetsource",
	"videostreamplayback", "visualshadernodebillboard", "visualshadernodebooleanparameter",
	"visualshadernodeclamp", "visualshadernodecolorparameter", "visualshadernodecomment",
	"visualshadernodeconstant", "visualshadernodecubemapparameter",
	"visualshadernodecurvetexture", "visualshadernodecurvexyztexture",
	"visualshadernodederivativefunc", "visualshadernodedistancefade",
	"visualshadernodefloatconstant", "visualshadernodefloatfunc", "visualshadernodefloatop",
	"visualshadernodefloatparameter", "visualshadernodeframe", "visualshadernodeintconstant",
	"visualshadernodeintfunc", "visualshadernodeintop", "visualshadernodeintparameter",
	"visualshadernodelinearscenedepth", "visualshadernodemix", "visualshadernodemultiplyadd",
	"visualshadernodeparameter", "visualshadernodeparameterref",
	"visualshadernodeparticleaccelerator", "visualshadernodeparticleboxemitter",
	"visualshadernodeparticleconevelocity", "visualshadernodeparticleemit",
	"visualshadernodeparticleemitter", "visualshadernodeparticlemeshemitter",
	"visualshadernodeparticlemultiplybyaxisangle", "visualshadernodeparticleoutput",
	"visualshadernodeparticlerandomness", "visualshadernodeparticleringemitter",
	"visualshadernodeparticlesphereemitter", "visualshadernodeproximityfade",
	"visualshadernoderandomrange", "visualshadernoderemap", "visualshadernodereroute",
	"visualshadernoderesizablebase", "visualshadernoderotationbyaxis",
	"visualshadernodesample3d", "visualshadernodescreennormalworldspace",
	"visualshadernodescreenuvtosdf", "visualshadernodesdfraymarch",
	"visualshadernodesdftoscreenuv", "visualshadernodesmoothstep", "visualshadernodestep",
	"visualshadernodetexture2darray", "visualshadernodetexture2darrayparameter",
	"visualshadernodetexture2dparameter", "visualshadernodetexture3d",
	"visualshadernodetexture3dparameter", "visualshadernodetextureparameter",
	"visualshadernodetextureparametertriplanar", "visualshadernodetexturesdf",
	"visualshadernodetexturesdfnormal", "visualshadernodetransformop",
	"visualshadernodetransformparameter", "visualshadernodeuintconstant",
	"visualshadernodeuintfunc", "visualshadernodeuintop", "visualshadernodeuintparameter",
	"visualshadernodeuvfunc", "visualshadernodeuvpolarcoord", "visualshadernodevarying",
	"visualshadernodevaryinggetter", "visualshadernodevaryingsetter",
	"visualshadernodevec2constant", "visualshadernodevec2parameter",
	"visualshadernodevec3parameter", "visualshadernodevec4constant",
	"visualshadernodevec4parameter", "visualshadernodevectorbase",
	"visualshadernodeworldpositionfromdepth", "voxelgidata",
};

static int compare_name(const struct scene_text *name, const char *other,
			int (*compare)(const char *, const char *, size_t))
{
	int order = compare(name->at, other, name->len);

	return order != 0 ? order : other[name->len] == '\0' ? 0 : -1;
}

static int compare_class(const void *name, const void *class)
{
	return compare_name(name, ((const struct class *)class)->name, strncmp);
}

static int compare_unspelled(const void *name, const void *other)
{
	return compare_name(name, *(const char *const *)other, strncasecmp);
}

enum kind { UNKNOWN, RESOURCE, ABSTRACT, OTHER };

static enum kind kind_of(const struct scene_text *name, enum scene_engine engine)
{
	const struct class *class =
		bsearch(name, classes, JOBQ_LENGTH(classes), sizeof(classes[0]), compare_class);
	unsigned what = class != NULL ? class->what : 0;

	/* Godot 4 knows the names of Godot 3 that it has given up. */
	if (engine != SCENE_ENGINE_3 && (what & (R4 | A4 | O4)) != 0)
		what >>= 3;
	if ((what & R3) != 0)
		return RESOURCE;
	if ((what & A3) != 0)
		return ABSTRACT;
	if ((what & O3) != 0)
		return OTHER;
	if (engine != SCENE_ENGINE_3 && bsearch(name, unspelled, JOBQ_LENGTH(unspelled),
						sizeof(unspelled[0]), compare_unspelled) != NULL)
		return RESOURCE;
	return UNKNOWN;
}

bool scene_class_check(struct scene_reader *reader, struct scene_text name, size_t at, bool any)
{
	const char *fault = NULL;

	switch (kind_of(&name, reader->engine)) {
	case RESOURCE:
		return true;
	case ABSTRACT:
		fault = "is abstract";
		break;
	case OTHER:
		fault = any ? NULL : "is no resource";
		break;
	case UNKNOWN:
		if (reader->engine == SCENE_ENGINE_3) {
			fault = "does not exist";
		} else if (reader->unknown == NULL) {
			reader->unknown = scene_arena_copy(reader->arena, name.at, name.len);
			reader->unknown_at = at;
		}
		break;
	}
	return fault == NULL ||
	       scene_fail(reader, at,
			  scene_arena_print(reader->arena,
					    "nothing can be made of the class %.*s, which %s",
					    (int)name.len, name.at, fault));
}

bool scene_class_exists(const char *name, enum scene_engine engine)
{
	return kind_of(&(struct scene_text){name, strlen(name)}, engine) != UNKNOWN;
}
