//! Finds the best legal sequence of tags (Viterbi). Time and memory are linear in the window.

use std::ops::Range;

use super::tags::{self, Part};

/// The decoder of one model, with its scratch space.
#[derive(Debug)]
pub struct Decoder {
    tag_count: usize,
    /// Of every tag: which may stand before it, and what that scores.
    before: Vec<Vec<(usize, i32)>>,
    best: Vec<i32>,
    next: Vec<i32>,
    back: Vec<u8>,
    tags: Vec<u8>,
}

/// What no path scores: far below any, far above overflow.
const NEVER: i32 = i32::MIN / 2;

impl Decoder {
    /// With transitions by the tag before and the tag after.
    pub fn new(labels: usize, transitions: &[i16]) -> Decoder {
        let tag_count = tags::count(labels);
        let score = |from: usize, to: usize| i32::from(transitions[from * tag_count + to]);
        let before = tags::predecessors(tag_count).into_iter().enumerate();
        let before = before.map(|(to, from)| from.into_iter().map(|from| (from, score(from, to))).collect()).collect();
        Decoder {
            tag_count,
            before,
            best: Vec::new(),
            next: vec![NEVER; tag_count],
            back: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// The mentions that the best sequence for these scores holds, as (label, range of tokens), in order. `scores` has
    /// one score a tag for every token.
    pub fn decode(&mut self, scores: &[i32], mut mention: impl FnMut(usize, Range<usize>)) {
        self.forward(scores);
        self.backward();
        let mut start = 0;
        for (at, &tag) in self.tags.iter().enumerate() {
            match tags::part(usize::from(tag)) {
                (Part::Single, label) => mention(label, at..at + 1),
                (Part::Begin, _) => start = at,
                (Part::End, label) => mention(label, start..at + 1),
                (Part::Outside | Part::Inside, _) => {}
            }
        }
    }

    fn forward(&mut self, scores: &[i32]) {
        self.back.clear();
        self.best.clear();
        for (at, scores) in scores.chunks_exact(self.tag_count).enumerate() {
            if at == 0 {
                self.best.extend(scores.iter().enumerate().map(
                    |(tag, &score)| {
                        if tags::is_open_before(tag) { NEVER } else { score }
                    },
                ));
                self.back.resize(self.tag_count, 0);
                continue;
            }
            for (to, before) in self.before.iter().enumerate() {
                let (mut best, mut from) = (i32::MIN, 0);
                for &(tag, transition) in before {
                    let score = self.best[tag] + transition;
                    if score > best {
                        (best, from) = (score, tag);
                    }
                }
                self.next[to] = (best + scores[to]).max(NEVER);
                self.back.push(from as u8);
            }
            self.best.copy_from_slice(&self.next);
        }
    }

    fn backward(&mut self) {
        self.tags.clear();
        let mut best: Option<usize> = None;
        for tag in (0..self.best.len()).filter(|&tag| !tags::is_open_after(tag)) {
            if best.is_none_or(|best| self.best[tag] > self.best[best]) {
                best = Some(tag);
            }
        }
        let Some(mut tag) = best else { return };
        for back in self.back.chunks_exact(self.tag_count).rev() {
            self.tags.push(tag as u8);
            tag = usize::from(back[tag]);
        }
        self.tags.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(decoder: &mut Decoder, scores: &[i32]) -> Vec<(usize, Range<usize>)> {
        let mut mentions = Vec::new();
        decoder.decode(scores, |label, range| mentions.push((label, range)));
        mentions
    }

    #[test]
    fn the_best_legal_sequence_wins() {
        let mut decoder = Decoder::new(1, &[0; 25]);
        // O B I E S; the middle token would like to be O alone, but B..E pays more.
        let scores = [0, 9, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 9, 0];
        assert_eq!(decode(&mut decoder, &scores), [(0, 0..3)]);
        // An end without a beginning is not legal, however high it scores.
        assert_eq!(decode(&mut decoder, &[0, 0, 0, 99, 1]), [(0, 0..1)]);
        assert_eq!(decode(&mut decoder, &[]), []);
    }

    #[test]
    fn every_sequence_is_legal_and_best() {
        // All 5^4 sequences of random problems, by brute force.
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as i32 % 20 - 10
        };
        for _ in 0..200 {
            let transitions: Vec<i16> = (0..25).map(|_| random() as i16).collect();
            let scores: Vec<i32> = (0..20).map(|_| random()).collect();
            let total = |path: &[usize]| -> Option<i32> {
                let legal = !tags::is_open_before(path[0])
                    && !tags::is_open_after(path[3])
                    && path.windows(2).all(|pair| tags::may_follow(pair[0], pair[1]));
                let here: i32 = path.iter().enumerate().map(|(at, tag)| scores[at * 5 + tag]).sum();
                let between: i32 = path.windows(2).map(|p| i32::from(transitions[p[0] * 5 + p[1]])).sum();
                legal.then_some(here + between)
            };
            let paths = (0..625_usize).map(|n| [n % 5, n / 5 % 5, n / 25 % 5, n / 125]);
            let best = paths.filter_map(|path| total(&path)).max();
            let mut decoder = Decoder::new(1, &transitions);
            decode(&mut decoder, &scores);
            let path: Vec<usize> = decoder.tags.iter().map(|&tag| usize::from(tag)).collect();
            assert_eq!(total(&path), best);
        }
    }
}
