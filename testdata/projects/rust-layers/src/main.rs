fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers
}

fn main() {
    let mut random = fastrand::Rng::with_seed(7);
    let numbers = sorted((0..5).map(|_| random.u32(0..100)).collect());
    println!("{} numbers in order", numbers.windows(2).filter(|pair| pair[0] <= pair[1]).count() + 1);
}

#[test]
fn in_order() {
    assert_eq!(sorted(vec![3, 1, 2]), [1, 2, 3]);
}
