//! The features of a token: hashes of what it looks like, what stands around it, and what the rest of the stretch says
//! about it. Training and tagging call the same function; what it emits is covered by
//! [`TEXT_VERSION`](crate::text::TEXT_VERSION).

use std::ops::Range;

use crate::text::analysis::Analysis;
use crate::text::context::Run;
use crate::text::form::{Case, Form};
use crate::text::hash::mix;

/// What a feature depends on. Training drops the words themselves more often than the rest, so that names never seen
/// are found by what surrounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On which word this token is.
    Word,
    /// On everything else.
    Context,
}

/// Names of the templates; the number is part of the model format.
mod template {
    pub const BIAS: u64 = 1;
    pub const WORD: u64 = 2;
    pub const LOWER: u64 = 3;
    pub const SHAPE: u64 = 4;
    pub const PREFIX: u64 = 5;
    pub const SUFFIX: u64 = 6;
    pub const NEAR: u64 = 7;
    pub const NEAR_SHAPE: u64 = 8;
    pub const NEAR_SUFFIX: u64 = 9;
    pub const PAIR: u64 = 10;
    pub const SHAPES: u64 = 11;
    pub const LOWER_SHAPE: u64 = 12;
    pub const AROUND: u64 = 13;
    pub const SEEN: u64 = 14;
    pub const RUN_PLACE: u64 = 15;
    pub const RUN_WORD: u64 = 16;
    pub const RUN_AROUND: u64 = 17;
    pub const RUN_BOTH: u64 = 18;
    pub const LONGEST: u64 = 19;
    pub const ELSEWHERE: u64 = 20;
    pub const NEAR_SEEN: u64 = 21;
    pub const TRIPLE: u64 = 22;
    pub const FIRST: u64 = 23;
}

/// Stands for a token before or after the paragraph.
const EDGE: Form = Form {
    word: 1,
    lower: 1,
    shape: 1,
    short_shape: 1,
    prefixes: [1; 3],
    suffixes: [1; 3],
    case: Case::Symbol,
    first: '\n',
    length: 0,
};

/// Emits the features of one token of a paragraph.
#[inline(always)]
pub fn each(analysis: &Analysis, paragraph: &Range<usize>, at: usize, mut emit: impl FnMut(Kind, u64)) {
    use template as t;
    let near = |distance: isize| -> &Form {
        match at.checked_add_signed(distance) {
            Some(index) if paragraph.contains(&index) => &analysis.tokens[index].form,
            _ => &EDGE,
        }
    };
    let mut word = |template: u64, value: u64| emit(Kind::Word, mix(template << 8, value));
    let form = near(0);
    let (before, after) = (near(-1), near(1));

    word(t::WORD, form.word);
    word(t::LOWER, form.lower);
    word(t::LOWER_SHAPE, mix(form.lower, form.short_shape));
    for (length, (&prefix, &suffix)) in form.prefixes.iter().zip(&form.suffixes).enumerate() {
        if prefix != 0 {
            word(t::PREFIX | (length as u64) << 5, prefix);
            word(t::SUFFIX | (length as u64) << 5, suffix);
        }
    }
    word(t::PAIR, mix(before.lower, form.lower));
    word(t::PAIR | 1 << 5, mix(form.lower, after.lower));

    let mut context = |template: u64, value: u64| emit(Kind::Context, mix(template << 8, value));
    context(t::BIAS, 0);
    context(t::SHAPE, form.shape);
    context(t::SHAPE | 1 << 5, form.short_shape);
    context(t::FIRST, u64::from(at == paragraph.start));
    for (slot, distance) in [-2, -1, 1, 2].into_iter().enumerate() {
        let other = near(distance);
        let slot = (slot as u64) << 5;
        context(t::NEAR | slot, other.lower);
        context(t::NEAR_SHAPE | slot, other.shape);
        if distance.abs() == 1 {
            context(t::NEAR_SUFFIX | slot, other.suffixes[1]);
            context(t::LOWER_SHAPE | slot | 1 << 7, mix(other.lower, form.short_shape));
        }
    }
    context(t::SHAPES, mix(before.short_shape, form.short_shape));
    context(t::SHAPES | 1 << 5, mix(form.short_shape, after.short_shape));
    context(t::TRIPLE, mix(mix(before.short_shape, form.short_shape), after.short_shape));
    context(t::AROUND, mix(before.lower, after.lower));
    context(t::PAIR | 2 << 5, mix(near(-2).lower, before.lower));
    context(t::PAIR | 3 << 5, mix(after.lower, near(2).lower));

    let seen = |form: &Form| -> u64 {
        let word = analysis.context.word(form.lower);
        let longest = word.longest.map_or(0, Run::tokens).min(4) as u64;
        u64::from(word.is_lower) | u64::from(word.inside.min(2)) << 1 | longest << 3
    };
    if form.case == Case::Capital {
        let known = analysis.context.word(form.lower);
        let bits = seen(form);
        context(t::SEEN, bits);
        context(t::SEEN | 1 << 5, bits & 7);
        context(t::SEEN | 2 << 5, mix(bits, form.shape));
        if let Some(run) = analysis.context.run(at) {
            run_features(analysis, paragraph, at, run, &mut context);
            if let Some(longest) = known.longest.filter(|longest| longest.tokens() > run.tokens()) {
                let tokens = &analysis.tokens;
                context(t::LONGEST, tokens[longest.start].form.lower);
                context(t::LONGEST | 1 << 5, tokens[longest.end - 1].form.lower);
                let is_last = tokens[longest.end - 1].form.lower == form.lower;
                let is_first = tokens[longest.start].form.lower == form.lower;
                context(t::LONGEST | 2 << 5, u64::from(is_last) | u64::from(is_first) << 1);
            }
        }
        if let Some(first) = known.first_inside.filter(|&first| first != at) {
            let other = |index: usize| analysis.tokens.get(index).map_or(EDGE.lower, |token| token.form.lower);
            context(t::ELSEWHERE, other(first.wrapping_sub(1)));
            context(t::ELSEWHERE | 1 << 5, other(first + 1));
        }
    }
    context(t::NEAR_SEEN, if before.case == Case::Capital { seen(before) } else { 255 });
    context(t::NEAR_SEEN | 1 << 5, if after.case == Case::Capital { seen(after) } else { 255 });
}

/// What the run of capitalised words around a token says.
#[inline(always)]
fn run_features(
    analysis: &Analysis,
    paragraph: &Range<usize>,
    at: usize,
    run: Run,
    context: &mut impl FnMut(u64, u64),
) {
    use template as t;
    let lower = |index: Option<usize>| match index {
        Some(index) if paragraph.contains(&index) => analysis.tokens[index].form.lower,
        _ => EDGE.lower,
    };
    let place = ((at - run.start).min(3) as u64) | ((run.end - 1 - at).min(3) as u64) << 2;
    let (first, last) = (lower(Some(run.start)), lower(Some(run.end - 1)));
    let (before, after) = (lower(run.start.checked_sub(1)), lower(Some(run.end)));
    context(t::RUN_PLACE, place);
    context(t::RUN_WORD, first);
    context(t::RUN_WORD | 1 << 5, last);
    context(t::RUN_AROUND, before);
    context(t::RUN_AROUND | 1 << 5, after);
    context(t::RUN_AROUND | 2 << 5, mix(before, run.tokens().min(4) as u64));
    context(t::RUN_AROUND | 3 << 5, mix(after, run.tokens().min(4) as u64));
    context(t::RUN_BOTH, mix(before, after));
    if run.tokens() > 1 {
        context(t::RUN_BOTH | 1 << 5, mix(first, place));
        context(t::RUN_BOTH | 2 << 5, mix(last, place));
    }
}
