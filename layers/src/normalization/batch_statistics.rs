//! Running averages over batches, and what else normalisation by the statistics of a batch has in common.

use engine_core::init::Fill;
use engine_core::{
    Backward, Dependence, Dim, Forward, Memory, Saved, Scalar, Scratch, Shape, Signature, Weight,
    field::Factor,
};

/// The parameters and the memory of a normalisation, all arrays with a number for each column or channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchStatistics {
    epsilon: f64,
    pub(super) gain: Weight,
    pub(super) bias: Weight,
    running_mean: Weight,
    running_variance: Weight,
    /// What normalises, and in training the variance as the running one counts it.
    pub(super) mean: Saved,
    pub(super) scale: Saved,
    pub(super) variance: Saved,
    /// The sums of dy and of dy z, z the normalised x.
    pub(super) of_dy: Scratch,
    pub(super) of_dyz: Scratch,
}

/// The signature of a layer that normalises `x` by statistics of so many columns or channels.
pub(super) fn signature(x: &Shape, columns: Dim, momentum: Factor) -> Signature {
    Signature::output(x.clone(), Dependence::Batch)
        .bias("gain", [columns], Fill::Blocks(vec![1.0]))
        .bias("bias", [columns], Fill::zero())
        .average("mean", [columns], Fill::zero(), momentum)
        .average("variance", [columns], Fill::Blocks(vec![1.0]), momentum)
}

impl BatchStatistics {
    pub(super) fn lower(memory: &mut Memory<'_>, columns: Dim, epsilon: f64) -> Self {
        BatchStatistics {
            epsilon,
            gain: memory.weight("gain"),
            bias: memory.weight("bias"),
            running_mean: memory.weight("mean"),
            running_variance: memory.weight("variance"),
            mean: memory.saved([columns]),
            scale: memory.saved([columns]),
            variance: memory.saved([columns]),
            of_dy: memory.scratch([columns]),
            of_dyz: memory.scratch([columns]),
        }
    }

    /// One over the deviation that belongs to a variance.
    pub(super) fn scale_of<T: Scalar>(&self, variance: f64) -> T {
        T::of(1.0 / (variance + self.epsilon).sqrt())
    }

    /// Normalises by the running mean and variance.
    pub(super) fn take_running<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let [mean, scale] = cx.saved.each([self.mean, self.scale]);
        mean.as_mut_slice().copy_from_slice(cx.parameters[self.running_mean].as_slice());
        let variance = cx.parameters[self.running_variance].as_slice();
        let scale = scale.as_mut_slice().iter_mut().zip(variance);
        scale.for_each(|(scale, v)| *scale = self.scale_of(v.f64()));
    }

    /// Adds the gradients of gain and bias, given the sums in scratch, and in training what the running averages have too
    /// much: they less what the batch has.
    pub(super) fn add_parameter_gradients<T: Scalar>(
        &self,
        cx: &mut Backward<'_, T>,
        training: bool,
    ) {
        for (parameter, sums) in [(self.gain, self.of_dyz), (self.bias, self.of_dy)] {
            let gradient = cx.parameter_gradients[parameter].as_mut_slice().iter_mut();
            gradient.zip(cx.scratch[sums].as_slice()).for_each(|(g, &sum)| *g += sum);
        }
        if !training {
            return;
        }
        let averages = [(self.running_mean, self.mean), (self.running_variance, self.variance)];
        for (running, batch) in averages {
            let pairs = cx.parameters[running].as_slice().iter().zip(cx.saved[batch].as_slice());
            let gradient = cx.parameter_gradients[running].as_mut_slice().iter_mut();
            gradient.zip(pairs).for_each(|(g, (&running, &batch))| *g += running - batch);
        }
    }
}
