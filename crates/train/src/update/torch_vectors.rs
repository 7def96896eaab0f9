// Made by torch_vectors.py with torch 2.15.0, in f64.
const TORCH: &[(&str, u64, [f64; 3])] = &[
    ("update = \"sgd\"\nlearning_rate = 0.1", 5, [0.59049, -1.547561875, 0.03888]),
    (
        "update = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9\nweight_decay = 0.05",
        7,
        [-0.470017858271, -0.0329151852997, 0.0662370698848],
    ),
    (
        "update = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9\nnesterov = true",
        7,
        [-0.351140282074, -0.0549432427172, 0.0450426457843],
    ),
    (
        "update = \"sgd\"\nlearning_rate = { peak = 0.1, schedule = \"cosine\", last = 0.02 }",
        9,
        [0.546875258748, -1.48800478246, 0.0308621960066],
    ),
    (
        "update = \"sgd\"\nlearning_rate = { peak = 0.1, schedule = \"linear\", last = 0.02 }",
        9,
        [0.547582380285, -1.48845595856, 0.0318759599234],
    ),
    (
        "update = \"sgd\"\nlearning_rate = { peak = 0.1, schedule = \"step\", every = 3, factor = 0.5 }",
        9,
        [0.579311555291, -1.5304740543, 0.040310784],
    ),
    (
        "update = \"sgd\"\nlearning_rate = { peak = 0.1, warm_up = 4, schedule = \"cosine\" }",
        11,
        [0.508383514274, -1.435788158, 0.02195850384],
    ),
    ("update = \"adam\"\nlearning_rate = 0.05", 9, [0.558866458054, -1.5536188388, 0.0767922800352]),
    (
        "update = \"adam\"\nlearning_rate = 0.05\nbeta1 = 0.8\nbeta2 = 0.9\neps = 0.001\nweight_decay = 0.1",
        9,
        [0.559932415718, -1.55422969511, 0.0800431215678],
    ),
    (
        "update = \"adamw\"\nlearning_rate = 0.05\nweight_decay = 0.1",
        9,
        [0.524686375992, -1.475087784, 0.0652994476935],
    ),
    (
        "update = \"adamw\"\nlearning_rate = { peak = 0.05, schedule = \"cosine\" }\nweight_decay = 0.1",
        9,
        [0.729903387967, -1.70409404955, 0.245481809137],
    ),
    (
        "update = \"adagrad\"\nlearning_rate = 0.2\nstart = 0.1\nweight_decay = 0.05",
        8,
        [0.320892073651, -1.22222287983, 0.021204521654],
    ),
];
/// The average that keeps 0.8 over 6 steps of gradient descent at 0.1.
const AVERAGE: [f64; 3] = [0.7468786, -1.72242265625, 0.1957184];
