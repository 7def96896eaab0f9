//! Rows come out as they went in, and say nothing of themselves.
use super::*;

fn labels(labels: Vec<u32>) -> Targets {
    Targets::Classes { labels, names: ["a".to_owned(), "b".to_owned()].into() }
}

#[test]
fn gather_copies_rows_in_the_order_asked() {
    let x = Examples::from_floats((0..6u8).map(f32::from).collect(), vec![2], labels(vec![0, 1, 0]), vec![]).unwrap();
    let batch = x.gather(&[2, 0, 2]);
    assert_eq!((batch.n, batch.shape.as_slice()), (3, &[2][..]));
    assert_eq!(batch.inputs, [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
    assert!(matches!(&batch.targets, Targets::Classes { labels, .. } if labels == &[0, 0, 0]));
    let empty = x.gather(&[]);
    assert!(empty.n == 0 && empty.inputs.is_empty());
    assert_eq!((x.len(), x.outputs(), x.classes()), (3, 2, Some(2)));
}

#[test]
fn chunks_cover_everything_once() {
    let data = Targets::Values { width: 2, data: (0..10u8).map(f32::from).collect() };
    let x = Examples::from_floats(vec![0.5; 5], vec![1, 1], data, vec![]).unwrap();
    assert_eq!(x.chunks(2).map(|b| b.n).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(x.chunks(0).count(), 5);
    let last = x.chunks(2).last().map(|b| b.targets);
    assert!(matches!(last, Some(Targets::Values { width: 2, data }) if data == [8.0, 9.0]));
    assert!(x.class_names().is_none() && x.outputs() == 2 && !x.is_empty());
}

#[test]
fn bytes_are_scaled_channel_by_channel() {
    let x = Examples::from_bytes(vec![0, 255, 255, 0], vec![2, 2], labels(vec![1]), &[0.0, 0.5], &[1.0, 0.25]).unwrap();
    assert_eq!(x.gather(&[0]).inputs, [0.0, 1.0, 2.0, -2.0]);
    let x = Examples::from_bytes(vec![0, 255], vec![2, 1], labels(vec![1]), &[0.5], &[0.5]).unwrap();
    assert_eq!(x.gather(&[0]).inputs, [-1.0, 1.0]);
}

#[test]
fn what_disagrees_is_refused() {
    let floats = |n: usize, shape: Vec<usize>, t| Examples::from_floats(vec![0.0; n], shape, t, vec![]).is_err();
    assert!(floats(3, vec![2], labels(vec![0, 1])) && floats(0, vec![], labels(vec![])));
    assert!(floats(2, vec![1], labels(vec![0, 2])) && floats(0, vec![usize::MAX, 2], labels(vec![])));
    assert!(floats(1, vec![1], Targets::Values { width: 0, data: vec![] }));
    assert!(floats(1, vec![1], Targets::Values { width: 2, data: vec![0.0; 3] }));
    assert!(Examples::from_floats(vec![f32::NAN], vec![1], labels(vec![0]), vec![]).is_err());
    assert!(Examples::from_floats(vec![0.0], vec![1], labels(vec![0]), vec![String::new(); 2]).is_err());
    let bytes = |m: &[f64], s: &[f64]| Examples::from_bytes(vec![0; 4], vec![2, 2], labels(vec![0]), m, s).is_err();
    assert!(
        bytes(&[0.0; 3], &[1.0; 3])
            && bytes(&[0.0], &[1.0; 2])
            && bytes(&[0.0], &[0.0])
            && bytes(&[f64::NAN], &[1.0])
            && bytes(&[0.0], &[1e-300])
    );
}

#[test]
fn debug_shows_no_value_and_no_count() {
    let targets = Targets::Values { width: 1, data: vec![77.25; 3] };
    let x = Examples::from_floats(vec![41.5; 3], vec![1], targets, vec![]).unwrap();
    let shown = format!("{x:?}");
    assert!(!shown.contains("41.5") && !shown.contains("77.25") && !shown.contains('3'), "{shown}");
}

/// Several processes see that they have the same people, and not the same rows alone.
#[test]
fn whose_rows_are_is_part_of_a_fingerprint() {
    let x = || Examples::from_floats(vec![0.5; 4], vec![1], labels(vec![0, 1, 0, 1]), vec![]).unwrap();
    let of = |person: &[u64], most| x().by_person(person, most).unwrap().fingerprint();
    let all = [x().fingerprint(), of(&[1, 1, 2, 2], 2), of(&[1, 2, 2, 2], 2), of(&[1, 1, 2, 2], 3)];
    (0..4).for_each(|i| assert!(!all[..i].contains(&all[i]), "{all:?}"));
    assert_eq!(of(&[1, 1, 2, 2], 2), of(&[9, 9, 4, 4], 2), "what people are called does not matter");
}

#[test]
fn examples_cross_threads() {
    fn both<T: Send + Sync>() {}
    both::<Examples>();
    both::<Batch>();
}

/// Some give place to made-up ones, in order: numbers as they were, bytes as they are looked at.
#[test]
fn made_up_examples_follow_those_that_are_kept() {
    let floats = Examples::from_floats(vec![1.0, 2.0, 3.0], vec![1, 1], labels(vec![0, 1, 1]), vec![]).unwrap();
    let bytes = Examples::from_bytes(vec![255, 0, 255], vec![1, 1], labels(vec![0, 1, 1]), &[0.5], &[0.5]).unwrap();
    for (people, own) in [(&floats, [1.0, 2.0]), (&bytes, [1.0, -1.0])] {
        let made_up =
            |inputs: Vec<f32>, of: Vec<u32>| Batch { n: of.len(), inputs, shape: vec![1, 1], targets: labels(of) };
        let all =
            people.followed_by(2, vec![made_up(vec![7.0, 8.0], vec![1, 0]), people.blank(1), made_up(vec![], vec![])]);
        let batch = all.unwrap().chunks(9).next().unwrap();
        assert_eq!((batch.n, &batch.inputs[..]), (5, &[own[0], own[1], 7.0, 8.0, 0.0][..]));
        assert!(matches!(&batch.targets, Targets::Classes { labels, .. } if labels == &[0, 1, 1, 0, 0]));
        assert_eq!(people.followed_by(5, vec![]).unwrap().len(), 3);
        let other = Batch { shape: vec![1], ..made_up(vec![1.0], vec![0]) };
        assert!(people.followed_by(2, vec![other]).is_err());
    }
}
